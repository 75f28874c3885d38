"""Policies that decide: learned and hand-written, all trained, evaluated and compared by the same code."""
