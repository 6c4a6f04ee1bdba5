"""The capabilities. A room never imports a room: they meet through ports that `holdfast.app` wires."""
