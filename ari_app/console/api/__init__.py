"""The JSON API under /api/v1: what programs may do here. Each operation is declared once; it is routed, checked and
described from that declaration.
"""
