"""A virtual camera: blurred/sharp pairs made from sharp photographs."""
