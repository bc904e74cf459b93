"""The dashboard: pages that arrange the lab's figures; training runs in a subprocess of its own."""
