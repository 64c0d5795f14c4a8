"""How a database differs from what the models of an application would make."""
