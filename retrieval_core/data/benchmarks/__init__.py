"""The field's published datasets: where they can be had, and what their files mean."""
