"""Maps: making them from posed images, storing them, finding nearby views in them."""
