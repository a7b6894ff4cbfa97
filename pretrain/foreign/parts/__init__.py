"""Code shared by the formats: layouts of ViTs and ResNets, reading and writing files, conversion."""
