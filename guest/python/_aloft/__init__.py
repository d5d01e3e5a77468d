"""Aloft's Python runtime. Its modules import nothing but the standard library, and each other as they are written here."""
