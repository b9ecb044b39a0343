"""Parts of a simulated teacher's reply: prompt reading, choice of questions, steps, topics, errors."""
