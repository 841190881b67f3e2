"""Training data: picture sets as their authors lay them out, and the samples drawn from them."""
