"""Keys of a configuration, the layers they are laid in, and the record of every change."""
