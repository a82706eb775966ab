"""Classification of images: `task` is the task, `sets` finds a data set by name, `idx`, `cifar` and `mnist_csv` read
files, `transforms` are what is done to images before a model sees them."""
