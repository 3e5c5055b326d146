"""Search for hyperparameters: what each family may try, how a trial is judged, and a search that resumes."""
