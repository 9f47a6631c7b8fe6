"""The faces of the controller: gRPC, REST, and the codec between the model and the public contract."""
