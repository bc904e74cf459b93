"""Numbers about weights, routing and maps: tensors or arrays in, numbers out, nothing drawn."""
