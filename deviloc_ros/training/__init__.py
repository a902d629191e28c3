"""Train the Point Inference Network on data whose weights may be shipped."""
