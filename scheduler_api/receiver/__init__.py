"""The built-in receiver: a destination for first events and for experiments.

`views` has the routes, `options` what a request may ask for, `signatures` the
verification, and `echo` the body of the response.
"""
