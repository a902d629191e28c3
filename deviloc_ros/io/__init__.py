"""Write files, complete or not at all, and pictures; read parameters; word lengths, suggestions and errors."""
