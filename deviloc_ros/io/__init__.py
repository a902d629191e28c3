"""Read and write files safely, draw pictures, and format lengths, suggestions and errors."""
