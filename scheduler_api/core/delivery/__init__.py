"""What is sent, where, when again and with which signature. Pure."""
