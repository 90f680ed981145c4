"""What the provider costs, measured side by side with what it is compared to: ``python -m benchmarks``.

Nothing here is part of the provider, and nothing of the provider knows of it. Every figure is a ratio of things that
were measured in turns, in one run, on one machine.
"""
