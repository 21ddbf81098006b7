"""Networks in Keras: windows of the panel, one training loop, LSTM and Transformer."""
