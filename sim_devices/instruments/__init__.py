"""Personas: one instrument each, commands on one side, the physics of the twin on the other."""
