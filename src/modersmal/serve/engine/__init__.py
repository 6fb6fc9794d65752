"""From an upload to text, in processes that can be killed: decoding in some, the model in one."""
