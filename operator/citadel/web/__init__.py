"""What people and other systems talk to: logs and outputs. Who may read, the cluster says."""
