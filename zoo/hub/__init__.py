"""Checkpoints on the Hugging Face Hub, or on any server that answers as it does.

connection.py   where the Hub is and who asks; its errors in our words; one policy of retries
pulling.py      one commit of a repository into the cache, every byte of it checked
pushing.py      a checkpoint into a repository, in one commit or none

Only what a user writes chooses a repository; nothing that a checkpoint says leads to another one.
"""
