"""The process `tools`: calls of HTTP and MCP tools that steps wait for, and checks of what MCP servers have.

It has no rights in Kubernetes, dials nothing but the egress proxy and the database, and alone can read the
credentials of tools.
"""
