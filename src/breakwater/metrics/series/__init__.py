"""Series and where they live: rows, their kinds, their tags both ways round."""
