"""Make the tables of docs/ and the measurements they rest on: what only this repository needs."""
