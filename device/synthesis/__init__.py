"""Switch states in, samples out: variation, scores, frames, phase reconstruction, tape."""
