"""Facts that a simulated teacher knows of a picture: scenes of the demo world, and measured photographs."""
