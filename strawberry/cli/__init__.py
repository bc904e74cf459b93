"""The command line: options made from the configuration's fields, and a way to show a training's events."""
