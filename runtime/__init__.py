"""Runtime: camera, video or pictures in, sharp frames out; never torch. Run: `edgedeblur run --help`."""
