/** A real training, from the data to a running model: the example of the repository. */
import '../../examples/register-and-train/main.mjs'
