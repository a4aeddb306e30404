"""Training by several processes: who they are, how they meet, and how they notice that one is gone."""
