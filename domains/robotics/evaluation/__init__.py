"""How good a policy is: tried out in its environment, or beside demonstrations."""
