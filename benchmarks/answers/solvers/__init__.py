"""Real small solvers as members of a swarm: honest competence on tasks with exact checkers."""
