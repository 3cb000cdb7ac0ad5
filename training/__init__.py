"""Workstation side: corpora, the network and how it learns."""
