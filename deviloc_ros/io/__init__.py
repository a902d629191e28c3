"""Write files, complete or not at all, and pictures; word lengths, suggestions and errors."""
