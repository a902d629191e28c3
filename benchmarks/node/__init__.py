"""The node measured over DDS."""
