"""Make the tables of docs/, each by a command, and write them between their markers. To add one: registry.py."""
