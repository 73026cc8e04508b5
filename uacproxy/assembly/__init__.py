"""What ``parts`` puts together of several pieces: a module for each subject, called by it alone."""
