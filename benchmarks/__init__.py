"""What only this repository needs: the tables of docs/, and the measurements they rest on. Not part of the package."""
