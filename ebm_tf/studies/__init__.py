"""The paper's studies: which trainings each compares, what is measured of them, and what becomes of its claims."""
