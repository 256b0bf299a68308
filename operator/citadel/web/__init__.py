"""What people and other systems talk to: logs and outputs from the journal. Who may read, the cluster says."""
