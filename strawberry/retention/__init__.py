"""The Retention Mechanism: a block's projection weights are made from what has been read, and evolve pass by pass."""
