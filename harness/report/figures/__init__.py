"""Figures of the report: content of a view → inline SVG, drawn by matplotlib without its pyplot."""
