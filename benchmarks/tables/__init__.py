"""The tables of docs/, each made by a command and written between its markers. To add one: registry.py."""
