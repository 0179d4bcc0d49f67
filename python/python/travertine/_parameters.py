"""What the docstrings of the multilayer perceptrons share."""

PARAMETERS = """
    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer.
    activation : {'identity', 'logistic', 'tanh', 'relu', 'selu', 'mish', 'gelu', 'elu', 'silu', 'softplus'}, \
default='relu'
        Of hidden layers.
    solver : {'adam', 'sgd', 'lbfgs'}, default='adam'
        How gradients change the weights.
    alpha : float, default=0.0001
        Strength of the L2 penalty of weights.
    batch_size : int or 'auto', default='auto'
        Samples of a step; 'auto' is ``min(200, n_samples)``.
    learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
        How the rate of 'sgd' changes: not; as ``learning_rate_init / t ** power_t``; or divided by 5 whenever
        ``n_iter_no_change`` epochs bring no progress.
    learning_rate_init : float, default=0.001
        The learning rate.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=200
        Epochs at most.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    random_state : int, RandomState instance or None, default=None
        Decides weights, order and dropout. The same number gives the same bits, for any ``n_jobs``.
    tol : float, default=1e-4
        Progress that is smaller counts as none.
    verbose : bool, default=False
        Whether a line is printed for each epoch.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights of the last one.
    momentum : float, default=0.9
        Of 'sgd'.
    nesterovs_momentum : bool, default=True
        Whether the momentum of 'sgd' is Nesterov's.
    early_stopping : bool, default=False
        Whether a part of the samples is held out to stop by, and the weights of the best epoch are kept.
    validation_fraction : float, default=0.1
        The share that is held out.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        Of 'adam'.
    n_iter_no_change : int, default=10
        Epochs without progress that end the training.
    max_fun : int, default=15000
        Of 'lbfgs': the most evaluations of the loss.
    dropout : float, default=0
        Share of the outputs of hidden layers that are dropped in training.
    normalization : {'batch', 'layer'} or None, default=None
        What stands between hidden layers and their activation.
    schedule : {'cosine', 'one_cycle', 'coslog', 'flat_cosine'} or None, default=None
        A learning rate that changes from step to step, over ``max_iter`` epochs, instead of ``learning_rate``.
    device : str, default='cpu'
        'cpu', or a name from :func:`travertine.devices`, such as 'cuda:0'.
    n_jobs : int or None, default=None
        Threads of the CPU; None and -1 are all cores.
    precision : {'float32', 'float64'}, default='float32'
        Of the weights and of all computations.
    callbacks : list of callables or None, default=None
        Each is called after every epoch with a dict of ``epoch``, ``loss`` and ``score``; a true answer ends the training."""
