"""The load checker: asks X2Go Servers how busy they are, keeps it in the store, answers on the reference's socket."""
