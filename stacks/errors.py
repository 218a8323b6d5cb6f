"""The base class of every error that ends one of this project's programs."""


class UserError(Exception):
    """An error that the user can correct: the program prints the message and ends with exit status 1.

    The message names the file, the field, the value and the accepted values, and needs no traceback.
    """
