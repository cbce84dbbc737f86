"""How good the answers are: layers of evidence that are never mixed in one table.

`replay` counts real recorded answers again. Whoever runs a layer gets plain dictionaries, one a
figure, fit for JSON.
"""
